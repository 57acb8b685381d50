"""Django's lazy texts, which msgpack can't pack."""
from __future__ import unicode_literals

import pytest
import six
from django.utils.functional import lazy


def test_a_lazy_text_of_django_is_refused_with_its_class_and_the_remedy(layer):
    text = lazy(lambda: "s3cr3t", six.text_type)()
    for message in ({"text": text}, {"list": [text]}, {text: 1}):
        with pytest.raises(TypeError) as raised:
            layer.send("normal", message)
        assert "normal" in str(raised.value) and "s3cr3t" not in str(raised.value)
        assert "django.utils.functional.__proxy__" in str(raised.value)
        assert "call %s()" % six.text_type.__name__ in str(raised.value)

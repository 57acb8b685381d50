from __future__ import unicode_literals

import views
from django.conf.urls import url

urlpatterns = [
    url(r"^$", views.hello),
    url(r"^echo/$", views.echo),
    url(r"^lines/(\d+)/$", views.lines),
    url(r"^broadcast/(\w+)/$", views.broadcast),
]

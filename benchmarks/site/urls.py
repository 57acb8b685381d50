from django.conf.urls import url
from django.http import HttpResponse


def page(request):
    return HttpResponse("Hello.")


urlpatterns = [url(r"^$", page)]

from django.urls import path, re_path

from . import views

urlpatterns = [
    path("", views.start, name="start"),
    re_path(r"^room/(?P<slug>[a-z0-9-]{1,40})/$", views.room, name="room"),
    path("status/", views.status, name="status"),
]

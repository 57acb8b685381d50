from django.urls import path
from newsite import views

urlpatterns = [path("new/announce/", views.announce), path("new/words/", views.count_words)]

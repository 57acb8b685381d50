from channels import Group
from django.conf.urls import url
from django.http import HttpResponse


def page(request):
    return HttpResponse("Hello.")


def broadcast(request, group):
    """Send the body of the request to all sockets of ``group``."""
    # At once: otherwise the reply would go out first.
    Group(group).send({"text": request.body.decode()}, immediately=True)
    return HttpResponse(status=204)


urlpatterns = [url(r"^$", page), url(r"^broadcast/(\w+)/$", broadcast)]

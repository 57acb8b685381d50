"""The WSGI application: ``POST /name`` with arguments, a JSON list, does that work."""
from __future__ import unicode_literals

import json

import work


def application(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    done = json.dumps(work.do(environ["PATH_INFO"][1:], json.loads(body))).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(done)))])
    return [done]

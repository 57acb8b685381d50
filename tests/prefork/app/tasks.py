"""The Celery application. Its broker and result backend is PREFORK_BROKER."""
from __future__ import unicode_literals

import os

import celery
import work

app = celery.Celery("tasks", broker=os.environ["PREFORK_BROKER"], backend=os.environ["PREFORK_BROKER"])


@app.task(name="do")
def do(name, arguments):
    return work.do(name, arguments)

"""
``asgi-redis check``: whether servers, messages and processes are as the layer needs them.

- ``run``: the command
- ``servers``: what each server says of itself; ``permissions``: what its user may do
- ``messages``: whether those that wait can be read; ``channels``: whether they wait for long
- ``processes``: whether those that receive agree; ``clients``: which clients wait without a record
- ``verdicts``: what was found, and the table of it
"""

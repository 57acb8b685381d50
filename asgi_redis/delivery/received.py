"""What ``receive_async`` returns; this can be imported on Python 3 only."""
from __future__ import unicode_literals

import asyncio  # novm: see above


class Received(asyncio.Future):
    """
    A future of what a ``Pending`` finds. A cancel puts the message back even if the future is done, unless the result
    was read, or all callbacks have run.

    Cancelling a task cancels the future that it awaits, and that may be done, if the task has not run since. Such a
    message would be lost, for instance if ``asyncio.wait_for`` times out at that moment.
    """

    def __init__(self, pending, loop):
        super(Received, self).__init__(loop=loop)
        self._pending = pending
        self.add_done_callback(lambda _: loop.call_soon(pending.take))  # asyncio may read it without ``result``

    def cancel(self, *arguments, **options):
        self._pending.cancel()
        return super(Received, self).cancel(*arguments, **options) or self._pending.is_put_back

    def cancelled(self):
        return super(Received, self).cancelled() or self._pending.is_put_back

    def result(self):
        found = super(Received, self).result()
        self._pending.take()
        if self._pending.is_put_back:
            raise asyncio.CancelledError()
        return found

    def __iter__(self):
        # A task that awaits a future which is done does not call ``result``.
        if self.done():
            self.result()
        return super(Received, self).__iter__()

    __await__ = __iter__

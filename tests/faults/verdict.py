"""What a fault did to the traffic, and whether that is more than it explains, or costs more than it may."""
from __future__ import unicode_literals

import collections

from .costs import Costs
from .traffic import CHANNELS, CROWD, NORMAL, queue_of

#: Seconds before masters change in which what was acknowledged need not have reached the replica.
NOT_REPLICATED = 2


class Harm(object):
    """
    What a fault has done. ``began``, ``ended``: when, as by ``time.time()``. ``swallowed``: {command: how many of its
    replies proxies did not deliver}; ``swallowed_messages``: in how many of them was a message that had been popped.
    These explain no loss: what was popped is found again.
    """

    def __init__(self):
        self.began = self.ended = None
        self.swallowed = collections.Counter()
        self.swallowed_messages = 0
        self._forgotten = []
        self._not_replicated = []

    def forgets(self, index, until):
        """Shard ``index`` lost its memory at ``until``: what was sent there before is gone."""
        self._forgotten.append((index, 0, until))

    def fails_over(self, index, since, until):
        """
        The roles of shard ``index`` changed between ``since`` and ``until``: what the new master had not heard of did
        not happen. That is true of sends, and of receives.
        """
        self._not_replicated.append((index, since - NOT_REPLICATED, until))

    def explains_loss(self, shards, begun, ended):
        """Whether a message could get lost that was sent, from ``begun`` to ``ended``, by way of ``shards``."""
        return covers(self._forgotten + self._not_replicated, shards, begun, ended)

    def explains_repeat(self, shards, received):
        """Whether a message could come again that was first ``received`` then, by way of ``shards``."""
        return covers(self._not_replicated, shards, received, received)

    def explains_disorder(self, shards, begun, ended):
        """
        Whether a message could be overtaken that was sent, from ``begun`` to ``ended``, by way of ``shards``: a replica
        that takes over from a master which came back empty still has what was sent before.
        """
        return covers(self._not_replicated, shards, begun, ended)


def covers(times, shards, begun, ended):
    return any(index in shards and begun <= until and ended >= since for index, since, until in times)


class Verdict(object):
    """
    The figures of one scenario. ``harm``: what was done; ``layer``: knows which channel lies on which shard;
    ``problems``: what else went wrong, a list of texts; ``left_behind``: how many bodies are in Redis in the end;
    ``costs``: a ``Costs``, or None if nothing was measured.
    """

    def __init__(self, record, harm, layer, problems=(), left_behind=0, costs=None):
        self.record = record
        self.harm = harm
        self.layer = layer
        self.left_behind = left_behind
        self._problems = list(problems)
        self.costs = costs or Costs(0, 0)
        self.lines = sum(map(len, self.costs.lines(record).values()))
        self.cpu = sum(self.costs.cpu.values())
        self.acknowledged = len(record.sent)
        self.raised = sum(error is not None for _, _, error in record.calls)
        self.lost = [delivery for delivery in record.sent if delivery not in record.got]
        self.unexplained = [delivery for delivery in self.lost if not self._is_explained(delivery)]
        self.repeated = [delivery for delivery, times in record.got.items() if len(times) > 1]
        self.duplicated = [delivery for delivery in self.repeated if not self._may_come_again(delivery)]
        self.late = [delivery for channel in CHANNELS if channel != NORMAL for delivery in self._late(channel)]
        self.disordered = [delivery for delivery in self.late if not self._may_be_late(delivery)]
        self.longest_send = max([ended - begun for begun, ended, _ in record.calls] or [0])
        self.recovery = self._recovery()

    def _shards(self, channel):
        """The shards by way of which a message comes to ``channel``."""
        shards = {shard.number for shard in self.layer._parts.shards.of(queue_of(channel))}
        if "!" in channel:
            shards.add(self.layer.consistent_hash(CROWD))
        return shards

    def _is_explained(self, delivery):
        return self.harm.explains_loss(self._shards(delivery.channel), *self.record.sent[delivery])

    def _may_come_again(self, delivery):
        return self.harm.explains_repeat(self._shards(delivery.channel), self.record.got[delivery][0])

    def _may_be_late(self, delivery):
        times = self.record.sent.get(delivery)  # none if its send raised
        return bool(times) and self.harm.explains_disorder(self._shards(delivery.channel), *times)

    def _late(self, channel):
        """What arrived on ``channel`` after something that the same writer had sent later. Repeats don't count."""
        highest, seen, late = {}, set(), []
        for delivery in self.record.order[channel]:
            if delivery in seen:
                continue
            seen.add(delivery)
            if delivery.number < highest.get(delivery.writer, -1):
                late.append(delivery)
            else:
                highest[delivery.writer] = delivery.number
        return late

    def _recovery(self):
        """
        Seconds from the end of the fault until on every channel a message had been acknowledged and received; None
        where that did not come.
        """
        times = dict.fromkeys(CHANNELS)
        for delivery, (_, ended) in self.record.sent.items():
            done = max([ended] + self.record.got.get(delivery, [])[:1])
            if delivery in self.record.got and done >= self.harm.ended:
                known = times[delivery.channel]
                times[delivery.channel] = done if known is None else min(done, known)
        return None if None in times.values() else max(max(times.values()) - self.harm.ended, 0)

    def __str__(self):
        return (
            "%d acknowledged, %d raised, %d lost (%d unexplained), %d repeated (%d unexplained), "
            "%d out of order (%d unexplained), longest send %.2f s, whole again after %s s, "
            "swallowed %s with %d messages, %d bodies left behind; in %.1f s %d lines logged, %d commands (limit %d), "
            "%d messages, CPU seconds %s (limit of each %.1f)"
        ) % (
            self.acknowledged, self.raised, len(self.lost), len(self.unexplained), len(self.repeated),
            len(self.duplicated), len(self.late), len(self.disordered), self.longest_send, self.recovery,
            dict(self.harm.swallowed), self.harm.swallowed_messages, self.left_behind, self.costs.seconds, self.lines,
            self.costs.commands, self.costs.most_commands(self.record), self.costs.messages(self.record),
            ", ".join("%s %.1f" % pair for pair in sorted(self.costs.cpu.items())), self.costs.most_cpu(self.record),
        )

    @property
    def problems(self):
        """What the fault does not explain, or costs too much: a list of texts, empty if all is well."""
        problems = list(self._problems)
        problems += ["%s died:\n%s" % death for death in self.record.died]
        for what, deliveries in (
            ("lost", self.unexplained), ("duplicated", self.duplicated), ("out of order", self.disordered),
        ):
            if deliveries:
                problems.append("%d %s: %s" % (len(deliveries), what, self._describe(deliveries)))
        if self.recovery is None:
            problems.append("The traffic did not become whole again.")
        return problems + self.costs.problems(self.record)

    def _describe(self, deliveries):
        """The first few, with the times of their sends and receipts in seconds after the beginning of the fault."""
        def relative(times):
            return ", ".join("%.3f" % (when - self.harm.began) for when in times)

        return "; ".join(
            "%s %d/%d sent %s got %s" % (
                delivery + (relative(self.record.sent.get(delivery, ())), relative(self.record.got.get(delivery, ())))
            ) for delivery in sorted(deliveries)[:8]
        )

from channels import Group


def join(message, group):
    # A client that sees its socket open is in the group.
    Group(group).add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def leave(message, group):
    Group(group).discard(message.reply_channel)

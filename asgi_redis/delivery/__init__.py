"""What happens to a message between ``send`` and ``receive``. Nothing here knows a layer."""

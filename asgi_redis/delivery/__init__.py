"""What happens to a message between ``send`` and ``receive``. Nothing here depends on the layers."""

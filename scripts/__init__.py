"""What developers and operators run by hand: the native stack, seeding, clients."""

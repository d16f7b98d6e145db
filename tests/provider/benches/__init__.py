"""What tests of adapters hold in hand: one bench per provider, all with the same handles."""

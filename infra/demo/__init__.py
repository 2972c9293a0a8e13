"""The demo's partner network: invented, from a fixed seed, and written as a feed folder like any other."""

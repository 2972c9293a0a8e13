"""What holds for every test."""

import signal

# Started in the background by a shell, a process ignores Ctrl-C and hands that on to all that it starts; the commands that
# tests interrupt would never hear of it. With a handler here, they start as from a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

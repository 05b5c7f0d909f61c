"""What all tests share."""

import signal

# A shell that runs the tests in the background has them ignore Ctrl-C, and every process they
# start inherits that; the tests of Ctrl-C send it to such processes.
signal.signal(signal.SIGINT, signal.default_int_handler)

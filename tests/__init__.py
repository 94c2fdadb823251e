"""The tests; in all of them even the smallest temporaries take turns in the same memory."""

import graphc.calls.layout

graphc.calls.layout.WORTH = 0

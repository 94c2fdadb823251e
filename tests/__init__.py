"""The tests; in all of them even the smallest temporaries take turns in the same memory."""

import graphc.layout

graphc.layout.WORTH = 0

"""Programs from programs: gradients, forward mode, batches, and how the user steers them."""

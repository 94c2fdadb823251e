"""Programs that come from elsewhere, and programs that go elsewhere."""

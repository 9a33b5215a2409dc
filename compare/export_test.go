package compare

// StateBytesForTest sets a bound that is too small to be allowed.
func StateBytesForTest(c *Config, n int64) { c.StateBytes, c.tight = n, true }

"""Pure torch: divergences, sparse soft targets and the fused linear loss; per token, in nats."""

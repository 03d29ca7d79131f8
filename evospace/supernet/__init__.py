"""The weight-sharing model: networks, choice blocks, the supernet, fitness, BatchNorm recalibration."""

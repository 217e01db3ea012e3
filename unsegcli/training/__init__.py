"""What training and labelling with a trained network need beside the method: settings, data, order, state."""

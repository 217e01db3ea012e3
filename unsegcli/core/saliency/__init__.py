"""Object masks without learning: inpainting error (IEM), boundary connectivity (RBD) and manifold ranking (MR)."""

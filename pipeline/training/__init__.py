"""What every training loop needs: checkpoints and worker processes."""

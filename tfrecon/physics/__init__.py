"""MR physics: Fourier and SENSE operators, masks, coils, solvers, data consistency, noise."""

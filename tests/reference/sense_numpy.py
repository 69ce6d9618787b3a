"""SENSE, its normal equations and FFT conventions in plain NumPy, complex128, written from the equations."""

import numpy as np


def dft_matrix(n):
    """The centred orthonormal DFT of length n as a matrix, from its definition."""
    index = np.arange(n) - n // 2
    return np.exp(-2j * np.pi * np.outer(index, index) / n) / np.sqrt(n)


def fft2c(x):
    """Centred orthonormal 2-D Fourier transform by matrix products, no FFT."""
    return dft_matrix(x.shape[-2]) @ x @ dft_matrix(x.shape[-1]).T


def ifft2c(x):
    """Its inverse: the conjugate matrices."""
    return dft_matrix(x.shape[-2]).conj() @ x @ dft_matrix(x.shape[-1]).conj().T


def forward(image, maps, mask):
    """y_c = M F sum_s S_{s,c} x_s; image [..., S, H, W], maps [..., S, C, H, W], mask [..., 1, H or 1, W]."""
    return mask * fft2c((maps * image[..., :, None, :, :]).sum(-4))


def adjoint(kspace, maps, mask):
    """x_s = sum_c conj(S_{s,c}) F^H M y_c."""
    return (np.conj(maps) * ifft2c(mask * kspace)[..., None, :, :, :]).sum(-3)


def conjugate_gradient(normal, rhs, iterations):
    """Textbook conjugate gradients from zero for one item of any shape."""
    x = np.zeros_like(rhs)
    residual = rhs.copy()
    direction = residual.copy()
    squared = np.vdot(residual, residual).real
    for _ in range(iterations):
        image = normal(direction)
        alpha = squared / np.vdot(direction, image).real
        x = x + alpha * direction
        residual = residual - alpha * image
        new_squared = np.vdot(residual, residual).real
        direction = residual + new_squared / squared * direction
        squared = new_squared
    return x


def cg_sense(kspace, maps, mask, regularisation, iterations):
    """argmin |Ax - y|² + λ|x|² of one item: kspace [C, H, W], maps [S, C, H, W]; image [S, H, W]."""

    def normal(x):
        return adjoint(forward(x, maps, mask), maps, mask) + regularisation * x

    return conjugate_gradient(normal, adjoint(kspace, maps, mask), iterations)

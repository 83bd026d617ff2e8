"""Real saliency maps of real photographs, by six methods that need no trained network.

    python examples/photographs.py demo

writes ``demo/Models/<method>/<photograph>.npy`` (224 x 224, float32) and ``demo/photos/<photograph>.png``.
The photographs come with scikit-image and scikit-learn. The methods, each in a few lines:

* ``spectral_residual``: X. Hou, L. Zhang, Saliency detection: a spectral residual approach, CVPR 2007.
* ``image_signature``: X. Hou, J. Harel, C. Koch, Image signature, IEEE TPAMI 34 (2012), 194-201.
* ``frequency_tuned``: R. Achanta et al., Frequency-tuned salient region detection, CVPR 2009.
* ``center_surround``: L. Itti, C. Koch, E. Niebur, A model of saliency-based visual attention, IEEE TPAMI 20
  (1998), 1254-1259: intensity, colour opponency and orientation, each between pairs of scales.
* ``edges``: the magnitude of the gradient, a control that knows nothing of attention.
* ``center_prior``: a Gaussian in the middle, whatever the photograph, a control that looks at nothing.
"""

import sys
from pathlib import Path

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter, uniform_filter
from skimage import color, data, filters, io, transform, util
from sklearn.datasets import load_sample_image

SIDE = 224


def photographs():
    """Return name -> photograph, (224, 224, 3) floats in [0, 1]."""
    pictures = {
        "astronaut": data.astronaut(),
        "camera": data.camera(),
        "cat": data.chelsea(),
        "china": load_sample_image("china.jpg"),
        "coffee": data.coffee(),
        "coins": data.coins(),
        "flower": load_sample_image("flower.jpg"),
        "hubble": data.hubble_deep_field(),
        "moon": data.moon(),
        "motorcycle": data.stereo_motorcycle()[0],
        "retina": data.retina(),
        "rocket": data.rocket(),
    }
    return {name: square(picture) for name, picture in pictures.items()}


def square(picture):
    """Cut the middle square out of a picture, in colour and at 224 x 224."""
    picture = util.img_as_float(picture)
    if picture.ndim == 2:
        picture = color.gray2rgb(picture)
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = picture[top : top + side, left : left + side]
    return transform.resize(middle, (SIDE, SIDE, 3), anti_aliasing=True)


def spectral_residual(rgb):
    """Keep what is unexpected in the log amplitude spectrum."""
    gray = transform.resize(color.rgb2gray(rgb), (64, 64), anti_aliasing=True)
    spectrum = fft.fft2(gray)
    log_amplitude = np.log(np.abs(spectrum) + 1e-12)
    residual = log_amplitude - uniform_filter(log_amplitude, 3, mode="wrap")
    saliency = np.abs(fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    return transform.resize(gaussian_filter(saliency, 2.5), (SIDE, SIDE))


def image_signature(rgb):
    """Reconstruct each Lab channel from the signs of its cosine transform."""
    lab = transform.resize(color.rgb2lab(rgb), (64, 64, 3), anti_aliasing=True)
    signs = [fft.idctn(np.sign(fft.dctn(lab[..., c]))) ** 2 for c in range(3)]
    return transform.resize(gaussian_filter(np.mean(signs, axis=0), 3), (SIDE, SIDE))


def frequency_tuned(rgb):
    """Measure how far each pixel's colour is from the mean colour."""
    lab = color.rgb2lab(rgb)
    blurred = gaussian_filter(lab, (1, 1, 0))
    return np.linalg.norm(blurred - lab.mean(axis=(0, 1)), axis=2)


def center_surround(rgb):
    """Add up differences between fine and coarse scales of intensity, colour and orientation."""
    red, green, blue = np.moveaxis(rgb, 2, 0)
    intensity = rgb.mean(axis=2)
    angles = np.arange(4) * np.pi / 4
    features = {
        "intensity": [intensity],
        "color": [red - green, blue - (red + green) / 2],
        "orientation": [np.abs(filters.gabor(intensity, 0.15, theta)[0]) for theta in angles],
    }
    conspicuity = []
    for channels in features.values():
        differences = [
            np.abs(gaussian_filter(channel, center) - gaussian_filter(channel, 4 * center))
            for channel in channels
            for center in (2, 4, 8)
        ]
        conspicuity.append(sum(promote_peaks(difference) for difference in differences))
    return gaussian_filter(sum(promote_peaks(c) for c in conspicuity), 3)


def promote_peaks(feature):
    """Weight a feature by how far its highest peak stands above its mean (Itti's normalisation)."""
    feature = (feature - feature.min()) / (np.ptp(feature) + 1e-12)
    return feature * (1 - feature.mean()) ** 2


def edges(rgb):
    """Return the magnitude of the gradient."""
    return filters.sobel(color.rgb2gray(rgb))


def center_prior(rgb):
    """Look at the middle."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return np.exp(-(x**2 + y**2) / (2 * (SIDE / 5) ** 2))


METHODS = (spectral_residual, image_signature, frequency_tuned, center_surround, edges, center_prior)


def main(folder="demo"):
    folder = Path(folder)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for method in METHODS:
        (folder / "Models" / method.__name__).mkdir(parents=True, exist_ok=True)
    for name, rgb in photographs().items():
        io.imsave(folder / "photos" / f"{name}.png", util.img_as_ubyte(rgb), check_contrast=False)
        for method in METHODS:
            np.save(folder / "Models" / method.__name__ / f"{name}.npy", method(rgb).astype(np.float32))
    print(f"{len(METHODS)} methods x {len(photographs())} photographs in {folder / 'Models'}")


if __name__ == "__main__":
    main(*sys.argv[1:])

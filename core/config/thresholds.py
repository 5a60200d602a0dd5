"""The lines at which verdicts are drawn: what counts as found, seen, stable, explained.

Plain numbers apart from the engines that measure against them: a page that only reads runs loads no torch for them.
"""

# Of SSIM: above it a digit is recognised (Buzaglo et al. 2023 draw the line there).
RECOVERED = 0.4
# Of a unit square: the distance within which a point of the plane counts as found.
NEAR = 0.05

# Below it an attack with the features of theta_0 sees other ones than training did.
STABLE_COSINE = 0.99

# Times: what gradient-based attacks still reconstruct beside the largest coefficient.
VISIBLE_WITHIN = 30.0
# Visibility below which rounding of the stored factors makes a sample's signs unreadable. Measured at
# N=2, T=1, 784-1000-1000-1, with the other sample known exactly (the attacker's best case): at the
# floor under 1 % of 1,000 activation signs are wrong at rank 64, ten times below 1.5 to 10 %.
ROUNDING_FLOOR = {"float64": 2e-14, "float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}

# Relative residual above which a reconstruction leaves much of what was released unexplained.
POOR_FIT = 0.1
# A layer of trained weights explained to less than this half says little about the images.
UNMOVED = 0.5

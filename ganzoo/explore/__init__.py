"""`ganzoo explore`: one page in the browser to look at runs, watch training, and play with a trained generator.

security.py   who may ask: token, Host, Origin, and the size of what they send
library.py    the runs below a folder, by identifiers that are not paths
plane.py      a GAN of points as arrays to draw: D's surface, samples, gradients
live.py       a training that the page owns and steers
server.py     the addresses of the page
serving.py    the socket, and the server's process
static/       the page: HTML, CSS and ES modules, used as they are
"""

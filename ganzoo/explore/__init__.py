"""`ganzoo explore`: one page in the browser to look at runs, watch training, and play with a trained generator.

security.py      who may ask: token, Host, Origin, and the size of what they send
run_folder.py    the runs below a folder, by identifiers that are not paths
interactive.py   a GAN in training, one step at a time, with settings that may change
live.py          the thread that runs it and obeys the page
plane.py         a GAN of points as arrays to draw: D's surface, samples, gradients
latent_space.py  a trained generator: pictures, directions, projection
recipe.py        what the page asks of it: how to make one picture
uploads.py       images that a browser sends
server.py        the addresses of the page
serving.py       the socket, and the server's process
static/          the page: HTML, CSS and ES modules, used as they are
"""

"""The demo: pictures that anybody can generate, through the path that everybody's pictures take."""

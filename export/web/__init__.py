"""A folder that any static host serves: a page that restores photographs in the browser, with all that it needs."""

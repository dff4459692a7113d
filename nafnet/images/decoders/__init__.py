"""One decoder a file, each behind the same function: ``open_file(path, file_format, max_pixels) -> ImageReader``.

It reads the header alone. `nafnet.images.reader` knows which file is whose; a decoder's library is loaded by the first
file that needs it.
"""

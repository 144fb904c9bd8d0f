"""From the bytes of one image file to pixels as a person sees them."""

"""The pages of a site, a module per kind; each adds its own to the site."""

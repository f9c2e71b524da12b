"""Settings of this folder's tests."""

from hypothesis import settings

# Time is measured where it is the point, in test_hostile; a busy machine proves nothing.
settings.register_profile("maa", deadline=None)
settings.load_profile("maa")

//! JSON edited in place: scanning, paths, and splices that leave every other byte alone.

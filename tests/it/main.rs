//! Springhead from outside.

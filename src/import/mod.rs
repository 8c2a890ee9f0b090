//! Packet captures, HAR and other tools' files become captures. Not built yet: see README, "What does not work yet".

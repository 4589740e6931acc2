//! The kernel's half of Ringfence: its tables as values, and the program that decides by them.

pub mod abi;

//! Properties of the codec without a kernel, and of the tables in one.

mod codec;
mod generate;
mod live;

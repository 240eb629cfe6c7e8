//! Writes the frozen vectors of the protocol as inputs for the target `messages`, one file each: `seeds VECTORS CORPUS`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(vectors), Some(corpus)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: seeds VECTORS CORPUS"));
    };
    fs::create_dir_all(&corpus)?;
    let mut written = 0;
    for entry in fs::read_dir(vectors)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            written += write_texts(&fs::read_to_string(path)?, &corpus)?;
        }
    }
    println!("{written} inputs from the vectors");
    Ok(())
}

/// Every text of a JSON file that is hexadecimal is an input. Texts without escapes have a quotation mark on both sides.
fn write_texts(json: &str, corpus: &Path) -> io::Result<usize> {
    let mut written = 0;
    for text in json.split('"') {
        if let Ok(bytes) = hex::decode(text)
            && bytes.len() >= 3
        {
            let name = name_of(&bytes);
            fs::write(corpus.join(name), bytes)?;
            written += 1;
        }
    }
    Ok(written)
}

/// A name that is the same for the same bytes.
fn name_of(bytes: &[u8]) -> String {
    hex::encode(protocol::hash::mac(&[0; 32], bytes))
}

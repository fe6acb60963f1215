//! A hash by which hosts decide: all of them must find the same, whatever they were built with.

/// FNV-1a over these parts with a zero between them, mixed: texts that differ in their last letter alone get hashes that
/// have nothing to do with each other.
pub fn hash(parts: &[&[u8]]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = OFFSET;
    let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            take(0);
        }
        part.iter().copied().for_each(&mut take);
    }
    mixed(hash)
}

/// The finalizer of SplitMix64.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn is_the_same_for_ever() {
        assert_eq!(hash(&[b"a", b"b"]), hash(&[b"a\0b"]));
        assert_ne!(hash(&[b"a", b"b"]), hash(&[b"a", b"c"]));
        // Hosts of different builds must agree: a change of these moves partitions and keys.
        assert_eq!([hash(&[]), hash(&[b"basket"])], [0xf52a_15e9_a9b5_e89b, 0x818d_740c_91af_16b0]);
    }
}

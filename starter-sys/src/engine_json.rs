//! The engine's JSON beside the struct.

use crate::abi::engine;
use crate::{Fault, FieldError};
use std::slice;

impl engine {
    /// Checks that the JSON fits into its mapping. No mapping is fine as long as there is no
    /// JSON: a starter may check its struct before it has got one.
    pub fn check(&self) -> Result<(), FieldError> {
        let map_size = if self.config.is_null() { 0 } else { self.map_size };
        if self.size < map_size || (self.size == 0 && map_size == 0) {
            return Ok(());
        }
        Err(Fault::JsonSize { size: self.size, map_size }.of("/engine/size"))
    }

    /// The JSON.
    ///
    /// # Safety
    ///
    /// `config`, if not null, must point to `map_size` readable bytes that nobody writes while
    /// the result lives.
    pub unsafe fn json(&self) -> Result<&[u8], FieldError> {
        self.check()?;
        if self.config.is_null() {
            return Ok(&[]);
        }
        // SAFETY: the size has been checked against the mapping that the caller vouches for.
        Ok(unsafe { slice::from_raw_parts(self.config.cast(), self.size) })
    }

    /// Replaces the JSON in its mapping.
    ///
    /// # Safety
    ///
    /// `config`, if not null, must point to `map_size` writable bytes that nobody else uses at
    /// the same time, `json` included.
    pub unsafe fn store_json(&mut self, json: &[u8]) -> Result<(), FieldError> {
        let map_size = if self.config.is_null() { 0 } else { self.map_size };
        if json.len() >= map_size {
            return Err(Fault::JsonSize { size: json.len(), map_size }.of("/engine/size"));
        }
        // SAFETY: it fits into the mapping that the caller vouches for.
        unsafe { self.config.cast::<u8>().copy_from_nonoverlapping(json.as_ptr(), json.len()) };
        self.size = json.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    fn in_memory(memory: &mut [u8], size: usize) -> engine {
        engine { size, map_size: memory.len(), config: memory.as_mut_ptr().cast() }
    }

    #[test]
    fn json_is_read_back_as_it_was_stored() {
        let mut memory = [b'x'; 16];
        let mut engine = in_memory(&mut memory, 0);
        // SAFETY: `memory` outlives the engine and has no other user.
        unsafe { engine.store_json(br#"{"a":1}"#) }.unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { engine.json() }.unwrap(), br#"{"a":1}"#);
        assert_eq!(engine.size, 7);
    }

    #[test]
    fn json_as_long_as_its_mapping_is_refused() {
        let mut memory = [0; 8];
        let mut engine = in_memory(&mut memory, 8);
        let error = Fault::JsonSize { size: 8, map_size: 8 }.of("/engine/size");
        assert_eq!(engine.check(), Err(error.clone()));
        // SAFETY: `memory` outlives the engine and has no other user.
        assert_eq!(unsafe { engine.store_json(b"12345678") }, Err(error));
        // SAFETY: as above.
        assert_eq!(unsafe { engine.store_json(b"1234567") }, Ok(()));
    }

    #[test]
    fn without_a_mapping_there_is_no_json() {
        let mut engine = engine { size: 0, map_size: 4096, config: ptr::null_mut() };
        // SAFETY: null is allowed.
        assert_eq!(unsafe { engine.json() }, Ok(&[][..]));
        // SAFETY: null is allowed.
        assert!(unsafe { engine.store_json(b"{}") }.is_err());
        engine.size = 1;
        assert!(engine.check().is_err());
    }
}

//! What a module is made of: its parts and their sizes, its memories, who has made it. Nothing is compiled or judged here.

use std::{collections::BTreeMap, ops::Range};

use wasmparser::{CustomSectionReader, Encoding, KnownCustom, Parser, Payload, WasmFeatures};

use crate::CheckError;

/// The parts of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anatomy {
    /// What kind of WebAssembly it is.
    pub kind: Kind,
    /// What the component imports, by name, in its order; empty for a core module.
    pub imports: Vec<String>,
    /// What the component exports, by name, in its order; empty for a core module.
    pub exports: Vec<String>,
    /// Bytes of functions.
    pub code_bytes: u64,
    /// Bytes of data sections.
    pub data_bytes: u64,
    /// Bytes of other sections of core modules: types, tables, names of imports and exports.
    pub core_bytes: u64,
    /// Bytes of what makes a component of core modules: its types, and how values are passed.
    pub component_bytes: u64,
    /// Bytes of custom sections, by their names.
    pub custom_bytes: BTreeMap<String, u64>,
    /// All bytes, those between the sections too.
    pub total_bytes: u64,
    /// Bytes that are in memory from the start.
    pub static_bytes: u64,
    /// The linear memories that it makes.
    pub memories: Vec<Memory>,
    /// Who has made it: fields such as `language` or `processed-by`, each with names and versions.
    pub producers: BTreeMap<String, BTreeMap<String, String>>,
}

/// What kind of WebAssembly a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With types for what it imports and exports.
    Component,
    /// Of the core language.
    Core,
}

/// A linear memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes at the start.
    pub initial_bytes: u64,
    /// The most bytes that it asks for; none: as many as it gets.
    pub maximum_bytes: Option<u64>,
}

impl Anatomy {
    /// Takes a module apart.
    pub fn of(module: &[u8]) -> Result<Anatomy, CheckError> {
        if !module.starts_with(b"\0asm") {
            return Err(CheckError::NotWasm);
        }
        let mut anatomy = Anatomy::empty(module.len() as u64);
        let mut within: Vec<Encoding> = Vec::new();
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        for payload in parser.parse_all(module) {
            let payload = payload.map_err(|error| CheckError::Malformed(error.to_string()))?;
            match &payload {
                Payload::Version { encoding, .. } => {
                    if within.is_empty() {
                        anatomy.kind = match encoding {
                            Encoding::Component => Kind::Component,
                            Encoding::Module => Kind::Core,
                        };
                    }
                    within.push(*encoding);
                }
                Payload::End(_) => drop(within.pop()),
                part => {
                    let added = anatomy.add(part, &within);
                    added.map_err(|error| CheckError::Malformed(error.to_string()))?;
                }
            }
        }
        Ok(anatomy)
    }

    fn empty(total_bytes: u64) -> Anatomy {
        Anatomy {
            kind: Kind::Core,
            imports: Vec::new(),
            exports: Vec::new(),
            code_bytes: 0,
            data_bytes: 0,
            core_bytes: 0,
            component_bytes: 0,
            custom_bytes: BTreeMap::new(),
            total_bytes,
            static_bytes: 0,
            memories: Vec::new(),
            producers: BTreeMap::new(),
        }
    }

    /// Bytes that no part has: the heads of sections.
    pub fn rest_bytes(&self) -> u64 {
        let custom: u64 = self.custom_bytes.values().sum();
        let parts = [self.code_bytes, self.data_bytes, self.core_bytes, self.component_bytes, custom];
        self.total_bytes.saturating_sub(parts.iter().sum())
    }

    fn add(&mut self, part: &Payload<'_>, within: &[Encoding]) -> Result<(), wasmparser::BinaryReaderError> {
        let is_outermost = within.len() == 1;
        match part {
            // What is in them comes by itself.
            Payload::ModuleSection { .. }
            | Payload::ComponentSection { .. }
            | Payload::CodeSectionEntry(_) => {}
            Payload::CodeSectionStart { range, .. } => self.code_bytes += bytes(range),
            Payload::DataSection(section) => {
                self.data_bytes += bytes(&section.range());
                for data in section.clone() {
                    self.static_bytes += data?.data.len() as u64;
                }
            }
            Payload::CustomSection(section) => self.add_custom(section),
            other => {
                if let Some((_, range)) = other.as_section() {
                    match within.last() {
                        Some(Encoding::Component) => self.component_bytes += bytes(&range),
                        _ => self.core_bytes += bytes(&range),
                    }
                }
                self.look_into(other, is_outermost)?;
            }
        }
        Ok(())
    }

    fn look_into(
        &mut self,
        part: &Payload<'_>,
        is_outermost: bool,
    ) -> Result<(), wasmparser::BinaryReaderError> {
        match part {
            Payload::ComponentImportSection(imports) if is_outermost => {
                for import in imports.clone() {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if is_outermost => {
                for export in exports.clone() {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    let memory = memory?;
                    let page_bytes = 1_u64 << memory.page_size_log2.unwrap_or(16).min(16);
                    self.memories.push(Memory {
                        initial_bytes: memory.initial.saturating_mul(page_bytes),
                        maximum_bytes: memory.maximum.map(|pages| pages.saturating_mul(page_bytes)),
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_custom(&mut self, section: &CustomSectionReader<'_>) {
        *self.custom_bytes.entry(section.name().to_owned()).or_default() += bytes(&section.range());
        // A list that cannot be read says nothing, and does no harm.
        let KnownCustom::Producers(fields) = section.as_known() else { return };
        for field in fields.into_iter().map_while(Result::ok) {
            let named = self.producers.entry(field.name.to_owned()).or_default();
            for value in field.values.into_iter().map_while(Result::ok) {
                named.insert(value.name.to_owned(), value.version.to_owned());
            }
        }
    }
}

fn bytes(range: &Range<usize>) -> u64 {
    range.len() as u64
}

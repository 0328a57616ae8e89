//! A look at a component's structure before a compiler sees it: cheap, without recursion, and
//! without allocating by its numbers.
//!
//! Compilers are not hardened against hostile input: measured, 20,000 locals in one function of a
//! third of a megabyte make one allocate 13 GB. What is refused here is far beyond what programs
//! have; what slips through meets the limits of the process that compiles. Whether the component is
//! *valid* is for the compiler to say.

use wasmparser::{BinaryReaderError, Encoding, Parser, Payload};

use super::exports::{Exports, is_without_functions};
use super::log::printable;
use super::{CompileError, Limits, wasi};

/// A counted part of a component, with its name and the largest number in all modules of a
/// component together (inclusive).
#[derive(Debug, Clone, Copy)]
enum CountedPart {
    Modules,
    NestedComponents,
    Instances,
    Types,
    Imports,
    Exports,
    Aliases,
    Functions,
    Locals,
    Globals,
    Segments,
}

/// The limits on the parts. Chosen generously rather than measured; the one figure known is a
/// component that brings Python along, with 108 core instances.
const PARTS: [(&str, u64); 11] = [
    ("core modules", 500),
    ("nested components", 100),
    ("instances", 2_000),
    ("types", 200_000),
    ("imports", 100_000),
    ("exports", 200_000),
    ("aliases", 200_000),
    ("functions", 400_000),
    ("local variables", 5_000_000),
    ("global variables", 200_000),
    ("segments", 200_000),
];

/// The largest number of local variables of one function (inclusive): the memory that compiling
/// takes grows with its square.
const LOCALS_PER_FUNCTION: u64 = 5_000;
/// The largest function in bytes (inclusive), with room for the interpreter loop of a language.
const FUNCTION_BYTES: u64 = 1 << 20;
/// The deepest nesting of components (inclusive); tools make two levels.
const DEPTH: u64 = 8;

/// Checks sizes, counts and imports of `wasm`.
pub(super) fn check(wasm: &[u8], limits: &Limits) -> Result<(), CompileError> {
    if wasm.len() > limits.module_bytes {
        return Err(CompileError::TooLarge {
            limit_bytes: limits.module_bytes,
        });
    }
    if Parser::is_core_wasm(wasm) {
        return Err(CompileError::CoreModule);
    }
    if !Parser::is_component(wasm) {
        return Err(CompileError::NotWasm);
    }
    let mut census = Census::default();
    for payload in Parser::new(0).parse_all(wasm) {
        census.count(payload.map_err(invalid)?)?;
    }
    if !census.forbidden.is_empty() && !limits.any_import {
        return Err(CompileError::ForbiddenImport {
            imports: census.forbidden,
        });
    }
    match Exports::of(census.exports.iter().map(String::as_str)) {
        // Linking reports this, once a compiler has found that the component is valid.
        Err(CompileError::WrongWorld { .. }) => Ok(()),
        exports => exports.map(drop),
    }
}

#[derive(Debug, Default)]
struct Census {
    counts: [u64; PARTS.len()],
    /// One entry for each component that is open.
    depth: u64,
    in_module: bool,
    forbidden: Vec<String>,
    /// The names of the component's own exports.
    exports: Vec<String>,
}

impl Census {
    fn count(&mut self, payload: Payload<'_>) -> Result<(), CompileError> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.in_module = encoding == Encoding::Module;
                if !self.in_module {
                    self.depth += 1;
                    at_most("levels of nested components", DEPTH, self.depth)?;
                }
                Ok(())
            }
            Payload::End(_) => {
                // Modules hold nothing that nests: the end of one is not the end of the component.
                if !std::mem::take(&mut self.in_module) {
                    self.depth = self.depth.saturating_sub(1);
                }
                Ok(())
            }
            Payload::ModuleSection { .. } => self.add(CountedPart::Modules, 1),
            Payload::ComponentSection { .. } => self.add(CountedPart::NestedComponents, 1),
            Payload::InstanceSection(section) => self.add(CountedPart::Instances, section.count()),
            Payload::ComponentInstanceSection(section) => {
                self.add(CountedPart::Instances, section.count())
            }
            Payload::TypeSection(section) => self.add(CountedPart::Types, section.count()),
            Payload::CoreTypeSection(section) => self.add(CountedPart::Types, section.count()),
            Payload::ComponentTypeSection(section) => self.add(CountedPart::Types, section.count()),
            Payload::ImportSection(section) => self.add(CountedPart::Imports, section.count()),
            Payload::ComponentImportSection(section) => {
                self.add(CountedPart::Imports, section.count())?;
                if self.depth == 1 {
                    for import in section {
                        self.look_at_import(import.map_err(invalid)?.name.name);
                    }
                }
                Ok(())
            }
            Payload::ExportSection(section) => self.add(CountedPart::Exports, section.count()),
            Payload::ComponentExportSection(section) => {
                self.add(CountedPart::Exports, section.count())?;
                if self.depth == 1 {
                    for export in section {
                        self.exports
                            .push(export.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Ok(())
            }
            Payload::ComponentAliasSection(section) => {
                self.add(CountedPart::Aliases, section.count())
            }
            Payload::FunctionSection(section) => self.add(CountedPart::Functions, section.count()),
            Payload::ComponentCanonicalSection(section) => {
                self.add(CountedPart::Functions, section.count())
            }
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                at_most(
                    "bytes in one function",
                    FUNCTION_BYTES,
                    range.end - range.start,
                )?;
                let mut locals = 0;
                for group in body.get_locals_reader().map_err(invalid)? {
                    let (count, _) = group.map_err(invalid)?;
                    locals += u64::from(count);
                    at_most(
                        "local variables in one function",
                        LOCALS_PER_FUNCTION,
                        locals,
                    )?;
                }
                self.add(
                    CountedPart::Locals,
                    u32::try_from(locals).unwrap_or(u32::MAX),
                )
            }
            Payload::GlobalSection(section) => self.add(CountedPart::Globals, section.count()),
            Payload::ElementSection(section) => self.add(CountedPart::Segments, section.count()),
            Payload::DataSection(section) => self.add(CountedPart::Segments, section.count()),
            // Bounded by the component's size, or refused by the compiler since it is switched off.
            _ => Ok(()),
        }
    }

    fn add(&mut self, part: CountedPart, count: u32) -> Result<(), CompileError> {
        let (what, limit) = PARTS[part as usize];
        let total = &mut self.counts[part as usize];
        *total += u64::from(count);
        at_most(what, limit, *total)
    }

    fn look_at_import(&mut self, name: &str) {
        if !is_allowed(name) {
            self.forbidden.push(printable(name));
        }
    }
}

/// Tells whether a component may have the import `name`: a stand-in, or one of the contract's own.
fn is_allowed(name: &str) -> bool {
    wasi::is_allowed(name) || is_without_functions(name)
}

fn at_most(what: &'static str, limit: u64, count: u64) -> Result<(), CompileError> {
    if count <= limit {
        Ok(())
    } else {
        Err(CompileError::TooComplex { what, limit })
    }
}

fn invalid(error: BinaryReaderError) -> CompileError {
    CompileError::Invalid {
        reason: printable(&error.to_string()),
    }
}

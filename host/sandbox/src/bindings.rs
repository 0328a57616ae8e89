//! The seam to the guest: bindings that are generated from `wit/`. Nothing else in the host knows the component's types.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "decider-module",
    // Arguments are borrowed: folding a history copies no string on the host's side.
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
});

//! One VM: an instance of a module with one plugin's configuration in it, and the calls into it.

use std::cell::RefCell;
use std::rc::Rc;

use wasmtime::{
    Instance, Memory, Store, StoreLimits, StoreLimitsBuilder, Trap, TypedFunc, WasmParams, WasmResults,
};

use crate::error::Error;
use crate::module::Module;
use crate::world::World;

/// As many instructions as one callback may take: several seconds of them. In Envoy nothing would stop it.
const FUEL: u64 = 10_000_000_000;
/// Envoy's limit for the memory of a VM.
const MEMORY: usize = 1024 * 1024 * 1024;
/// The number of the plugin's own context.
pub(crate) const ROOT: u32 = 1;

/// What hostcalls know of the VM that makes them.
pub(crate) struct Guest {
    pub(crate) world: Rc<RefCell<World>>,
    /// Its place in the chain.
    pub(crate) plugin: usize,
    pub(crate) name: String,
    pub(crate) vm_id: String,
    pub(crate) configuration: Vec<u8>,
    pub(crate) environment: Vec<(String, String)>,
    /// Whose maps and bodies hostcalls mean.
    pub(crate) context: u32,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
    limits: StoreLimits,
}

impl Guest {
    pub(crate) fn new(
        world: Rc<RefCell<World>>,
        plugin: usize,
        names: (String, String),
        configuration: Vec<u8>,
        environment: Vec<(String, String)>,
    ) -> Self {
        let (name, vm_id) = names;
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).build();
        let (memory, allocate) = (None, None);
        Self { world, plugin, name, vm_id, configuration, environment, context: 0, memory, allocate, limits }
    }
}

/// A VM.
pub(crate) struct Vm {
    store: Store<Guest>,
    instance: Instance,
    contexts: u32,
    /// What all calls so far took.
    pub(crate) fuel: u64,
}

impl Vm {
    /// Makes an instance and configures it.
    pub(crate) fn start(module: &Module, guest: Guest) -> Result<Self, Error> {
        let plugin = guest.name.clone();
        let size = u32::try_from(guest.configuration.len()).unwrap_or(u32::MAX);
        let refused = |why: String| Error::Refused { plugin: plugin.clone(), why };
        let mut store = Store::new(module.engine(), guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_fuel(FUEL).map_err(|error| refused(error.to_string()))?;
        let instance = module.instantiate(&mut store).map_err(|error| refused(format!("{error:#}")))?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocate = ["proxy_on_memory_allocate", "malloc"]
            .into_iter()
            .find_map(|name| instance.get_typed_func::<u32, u32>(&mut store, name).ok());
        (store.data_mut().memory, store.data_mut().allocate) = (memory, allocate);
        let mut vm = Self { store, instance, contexts: ROOT, fuel: 0 };
        if !vm.call::<(), ()>("_initialize", ())? {
            vm.call::<(), ()>("_start", ())?;
        }
        vm.call::<(u32, u32), ()>("proxy_on_context_create", (ROOT, 0))?;
        let started = vm.ask::<(u32, u32)>("proxy_on_vm_start", (ROOT, 0))?;
        let configured =
            started != Some(0) && vm.ask::<(u32, u32)>("proxy_on_configure", (ROOT, size))? != Some(0);
        if configured { Ok(vm) } else { Err(refused(vm.last_words())) }
    }

    /// What it logged last.
    fn last_words(&self) -> String {
        let guest = self.store.data();
        let world = guest.world.borrow();
        let words = world.events.iter().rev().find_map(|event| match &event.kind {
            crate::world::EventKind::Log { text, .. } if event.plugin == guest.plugin => Some(text.clone()),
            _ => None,
        });
        words.unwrap_or_else(|| "it refuses its configuration and says nothing".to_owned())
    }

    /// The number of the context of a new exchange.
    pub(crate) fn new_context(&mut self) -> u32 {
        self.contexts = self.contexts.saturating_add(1);
        self.contexts
    }

    pub(crate) fn name(&self) -> &str {
        &self.store.data().name
    }

    /// Calls an export; `false`: the module has none of this name.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &'static str,
        arguments: P,
    ) -> Result<bool, Error> {
        self.run::<P, R>(name, arguments).map(|result| result.is_some())
    }

    /// Calls an export that answers with a number.
    pub(crate) fn ask<P: WasmParams>(
        &mut self,
        name: &'static str,
        arguments: P,
    ) -> Result<Option<u32>, Error> {
        self.run(name, arguments)
    }

    /// Makes the calls that follow be about this context.
    pub(crate) fn about(&mut self, context: u32) {
        self.store.data_mut().context = context;
    }

    fn run<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &'static str,
        arguments: P,
    ) -> Result<Option<R>, Error> {
        let Some(function) = self.instance.get_func(&mut self.store, name) else { return Ok(None) };
        let trapped =
            |why: String, plugin: &str| Error::Trapped { plugin: plugin.to_owned(), callback: name, why };
        let function = function
            .typed::<P, R>(&self.store)
            .map_err(|error| trapped(format!("its type is not that of the ABI: {error}"), self.name()))?;
        let result = self.store.set_fuel(FUEL).and_then(|()| function.call(&mut self.store, arguments));
        let left = self.store.get_fuel().unwrap_or_default();
        self.fuel = self.fuel.saturating_add(FUEL.saturating_sub(left));
        if let Some(fault) = self.store.data().world.borrow_mut().fault.take() {
            return Err(fault);
        }
        result.map(Some).map_err(|error| trapped(self.why(&error), self.name()))
    }

    fn why(&self, error: &wasmtime::Error) -> String {
        let why = match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => format!("more than {FUEL} instructions in one callback"),
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        // A panic says why on the standard error, which is the log.
        let words = self.last_words();
        if words.contains("panicked at") { format!("{why}: {words}") } else { why }
    }
}

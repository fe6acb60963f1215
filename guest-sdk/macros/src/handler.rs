//! From a function to the function and the component's export.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, ReturnType, Signature, Type};
use syn::{Ident, Token};

const ARGUMENTS: &str = "`handler` takes `aggregate = Type` or nothing: the manifest says the rest";

const SHAPE: &str = "fn name(event: Event<T>, cx: &mut Context) -> Outcome";

/// The function is always part of the result, so that a wrong one does not raise a second error at
/// each of its uses.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let message = format!("`handler` goes on a function: `{SHAPE}`");
            let error = Error::new(error.span(), message).into_compile_error();
            return quote! { #item #error };
        }
    };
    let aggregate = check(&function.sig).and_then(|()| aggregate(arguments));
    match aggregate {
        Ok(aggregate) => export(&function, aggregate.as_ref()),
        Err(error) => {
            let error = error.into_compile_error();
            quote! { #function #error }
        }
    }
}

fn export(function: &ItemFn, aggregate: Option<&Type>) -> TokenStream {
    let name = &function.sig.ident;
    // At the name, so that a type error points at the author's function.
    let assertion = quote_spanned! { name.span() =>
        const _: () = ::waxwing_sdk::__private::assert_handler(#name);
    };
    quote! {
        #function
        #assertion
        #[cfg(target_family = "wasm")]
        ::waxwing_sdk::__export_handler!(#name #aggregate);
    }
}

/// The type in `aggregate = Type`.
fn aggregate(arguments: TokenStream) -> Result<Option<Type>, Error> {
    if arguments.is_empty() {
        return Ok(None);
    }
    let named = |input: ParseStream<'_>| {
        let name: Ident = input.parse()?;
        if name != "aggregate" {
            return Err(Error::new(name.span(), ARGUMENTS));
        }
        input.parse::<Token![=]>()?;
        input.parse::<Type>()
    };
    named.parse2(arguments).map(Some)
}

fn check(signature: &Signature) -> Result<(), Error> {
    if let Some(word) = &signature.asyncness {
        return Err(Error::new(word.span, "a handler is not async: the host runs it to its end"));
    }
    if let Some(word) = &signature.unsafety {
        return Err(Error::new(word.span, "a handler is not unsafe"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(abi, "a handler has no ABI of its own: the attribute exports it"));
    }
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        return Err(Error::new_spanned(receiver, "a handler is a free function, not a method"));
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let generics = &signature.generics;
        return Err(Error::new(
            generics.span(),
            "a handler is not generic: name the event's data type, or take `Event<Raw>`",
        ));
    }
    check_types(signature)
}

fn check_types(signature: &Signature) -> Result<(), Error> {
    let inputs: Vec<_> = signature.inputs.iter().collect();
    let [_, FnArg::Typed(context)] = inputs.as_slice() else {
        let message = format!("a handler takes an event and a context: `{SHAPE}`");
        return Err(Error::new(signature.paren_token.span.join(), message));
    };
    match &*context.ty {
        Type::Reference(reference) if reference.mutability.is_some() => {}
        other => {
            return Err(Error::new_spanned(other, "a handler's second argument is `&mut Context`"));
        }
    }
    if matches!(signature.output, ReturnType::Default) {
        let message = format!("a handler returns `Outcome`: `{SHAPE}`");
        return Err(Error::new_spanned(&signature.ident, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(item: TokenStream) -> String {
        let function: ItemFn = syn::parse2(item).unwrap();
        check(&function.sig).unwrap_err().to_string()
    }

    #[test]
    fn takes_a_handler_and_keeps_the_function() {
        let function = quote! {
            pub fn reprice(event: Event<Price>, cx: &mut Context) -> Outcome { Ok(()) }
        };
        let expanded = expand(TokenStream::new(), function.clone()).to_string();
        assert!(expanded.starts_with(&function.to_string()), "{expanded}");
        assert!(expanded.contains("__export_handler ! (reprice)"), "{expanded}");
        assert!(!expanded.contains("compile_error"), "{expanded}");
    }

    #[test]
    fn refuses_another_number_of_arguments() {
        let shape = format!("a handler takes an event and a context: `{SHAPE}`");
        assert_eq!(refusal(quote! { fn f() -> Outcome {} }), shape);
        assert_eq!(refusal(quote! { fn f(event: Event<A>) -> Outcome {} }), shape);
        let three = quote! { fn f(event: Event<A>, cx: &mut Context, more: u8) -> Outcome {} };
        assert_eq!(refusal(three), shape);
    }

    #[test]
    fn refuses_a_context_that_is_not_a_mutable_reference() {
        let expected = "a handler's second argument is `&mut Context`";
        assert_eq!(refusal(quote! { fn f(e: Event<A>, cx: &Context) -> Outcome {} }), expected);
        assert_eq!(refusal(quote! { fn f(e: Event<A>, cx: Context) -> Outcome {} }), expected);
    }

    #[test]
    fn refuses_a_function_without_an_outcome() {
        let message = refusal(quote! { fn f(event: Event<A>, cx: &mut Context) {} });
        assert_eq!(message, format!("a handler returns `Outcome`: `{SHAPE}`"));
    }

    #[test]
    fn refuses_async_unsafe_extern_and_methods() {
        let cases = [
            (quote! { async fn f(e: Event<A>, cx: &mut Context) -> Outcome {} }, "not async"),
            (quote! { unsafe fn f(e: Event<A>, cx: &mut Context) -> Outcome {} }, "not unsafe"),
            (quote! { extern "C" fn f(e: Event<A>, cx: &mut Context) -> Outcome {} }, "no ABI"),
            (quote! { fn f(&self, e: Event<A>, cx: &mut Context) -> Outcome {} }, "not a method"),
        ];
        for (item, expected) in cases {
            let message = refusal(item);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn refuses_generics() {
        for item in [
            quote! { fn f<T>(e: Event<T>, cx: &mut Context) -> Outcome {} },
            quote! { fn f<'a>(e: Event<A>, cx: &'a mut Context) -> Outcome {} },
            quote! { fn f(e: Event<A>, cx: &mut Context) -> Outcome where A: Copy {} },
        ] {
            assert!(refusal(item).contains("not generic"));
        }
    }

    #[test]
    fn refuses_other_arguments_of_the_attribute() {
        let refused = aggregate(quote! { key = "id" }).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), Some(ARGUMENTS));
        assert!(aggregate(quote! { aggregate }).is_err());
        assert!(aggregate(quote! { aggregate = A, more = B }).is_err());
    }

    #[test]
    fn hands_on_the_aggregate() {
        let function = quote! { fn f(e: Event<A>, cx: &mut Context) -> Outcome {} };
        let expanded = expand(quote! { aggregate = shop::Account }, function).to_string();
        assert!(expanded.contains("__export_handler ! (f shop :: Account)"), "{expanded}");
    }

    #[test]
    fn refuses_what_is_not_a_function_and_keeps_it() {
        let item = quote! { struct Basket; };
        let expanded = expand(TokenStream::new(), item.clone()).to_string();
        assert!(expanded.starts_with(&item.to_string()));
        assert!(expanded.contains("goes on a function"), "{expanded}");
    }

    #[test]
    fn keeps_a_wrong_function_beside_the_error() {
        let expanded = expand(TokenStream::new(), quote! { fn f() -> Outcome { Ok(()) } }).to_string();
        assert!(expanded.starts_with("fn f ()"), "{expanded}");
        assert!(expanded.contains("compile_error"), "{expanded}");
    }
}
